"""A gRPC health server of the smallest kind: plain HTTP/2, every request gets the same answer.

Reads the answer from /tmp/answer at each request: "0 1" is gRPC status 0 with health status 1, "5 text" another gRPC
status with a message. Service names and user agents are not looked into.
"""
import os
import socket
import struct
import threading


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name, value):
    name, value = name.encode(), value.encode()
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def answer(stream):
    code, rest = open("/tmp/answer").read().strip().split(" ", 1)
    if code == "hang":
        return b""
    out = frame(1, 4, stream, b"\x88" + header("content-type", "application/grpc"))
    if code == "0":
        out += frame(0, 0, stream, b"\x00" + struct.pack(">I", 2) + bytes([8, int(rest)]))
        rest = ""
    return out + frame(1, 5, stream, header("grpc-status", code) + header("grpc-message", rest))


def exactly(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def serve(connection):
    try:
        exactly(connection, 24)
        connection.sendall(frame(4, 0, 0))
        while True:
            head = exactly(connection, 9)
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream = int.from_bytes(head[5:], "big")
            payload = exactly(connection, length)
            if kind == 4 and not flags & 1:
                connection.sendall(frame(4, 1, 0))
            elif kind == 6 and not flags & 1:
                connection.sendall(frame(6, 1, 0, payload))
            elif kind in (0, 1) and flags & 1:
                connection.sendall(answer(stream))
    except (EOFError, OSError):
        connection.close()


if not os.path.exists("/tmp/answer"):
    open("/tmp/answer", "w").write("0 2")
server = socket.create_server(("0.0.0.0", 9000))
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
