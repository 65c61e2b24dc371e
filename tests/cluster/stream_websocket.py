"""A WebSocket client of a node's own API. Arguments: address, token, path and query, sub-protocols, what to wait for,
and messages to send; the last two escaped as in Python. The first byte of a message is its channel.

Prints what comes, a line a frame: channel, then the bytes. Ends with the connection, or when what is waited for has
come, in however many frames; the last line then says so.
"""
import base64
import os
import socket
import ssl
import struct
import sys

address, token, target, protocols, wanted, *messages = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
raw = socket.create_connection((address, 10250), timeout=30)
peer = context.wrap_socket(raw)
key = base64.b64encode(os.urandom(16)).decode()
peer.sendall(
    (
        "GET %s HTTP/1.1\r\nHost: %s:10250\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
        "Sec-WebSocket-Protocol: %s\r\n\r\n" % (target, address, token, key, protocols)
    ).encode()
)
stream = peer.makefile("rb")
head = []
while True:
    line = stream.readline().decode().strip()
    if not line:
        break
    head.append(line)
print(head[0])
for line in head:
    name, _, value = line.partition(": ")
    if name.lower() == "sec-websocket-protocol":
        print("protocol", value)
if " 101 " not in head[0]:
    length = [int(line.split(": ")[1]) for line in head if line.lower().startswith("content-length: ")]
    print(stream.read(length[0] if length else 0).decode())
    sys.exit()


def unescaped(text):
    return text.encode().decode("unicode_escape").encode("latin-1")


def send(data):
    mask = os.urandom(4)
    masked = bytes(b ^ mask[n % 4] for n, b in enumerate(data))
    peer.sendall(struct.pack("!BB", 0x82, 0x80 | len(data)) + mask + masked)


for message in messages:
    send(unescaped(message))
# A tunnel is one stream of bytes; elsewhere each channel is one.
tunnel = "portforward.k8s.io" in protocols
come = {}
while True:
    start = stream.read(2)
    if len(start) < 2 or start[0] & 15 == 8:
        break
    length = start[1] & 127
    if length == 126:
        length = struct.unpack("!H", stream.read(2))[0]
    elif length == 127:
        length = struct.unpack("!Q", stream.read(8))[0]
    data = stream.read(length)
    if start[0] & 15 in (1, 2) and data:
        if len(data) > 1:
            print(data[0], data[1:])
        channel, rest = ("tunnel", data) if tunnel else (data[0], data[1:])
        come[channel] = come.get(channel, b"") + rest
        if wanted and unescaped(wanted) in come[channel]:
            print("came")
            break
