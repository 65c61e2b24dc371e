"""A web page that counts its visitors in Redis, found by its Service's name.

Speaks the Redis protocol over a plain socket, so it needs nothing but Python.
"""
import http.server
import os
import signal
import socket
import socketserver
import sys

REDIS = (os.environ.get("REDIS_HOST", "redis-service"), int(os.environ.get("REDIS_PORT", "6379")))
PORT = int(os.environ.get("PORT", "8000"))


def redis(*words):
    """One command, one reply: the integer or the string Redis answered."""
    request = "*%d\r\n" % len(words) + "".join("$%d\r\n%s\r\n" % (len(w), w) for w in words)
    with socket.create_connection(REDIS, timeout=5) as connection:
        connection.sendall(request.encode())
        reply = connection.makefile("rb")
        kind, rest = reply.read(1), reply.readline().strip()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return reply.read(int(rest)).decode()
        if kind == b"+":
            return rest.decode()
        raise OSError("redis said %r" % (kind + rest))


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            if self.path == "/healthz":
                status, body = 200, "ok\n"
            else:
                status, body = 200, "visit %d, served by %s\n" % (redis("INCR", "visits"), socket.gethostname())
        except OSError as error:
            status, body = 502, "redis at %s:%d: %s\n" % (*REDIS, error)
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, form, *args):
        print(self.client_address[0], form % args, flush=True)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("serving port", PORT, flush=True)
Server(("0.0.0.0", PORT), Page).serve_forever()
