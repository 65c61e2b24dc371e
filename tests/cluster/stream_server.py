"""What port-forwards lead to.

8000  HTTP: "you asked for PATH"; /ended says how many connections of 8003 have ended
8001  says "bye" and closes first
8002  answers a line with its length, also to a client that has ended its half
8003  reads until the client has gone
"""
import http.server
import socketserver
import threading

ended = 0
lock = threading.Lock()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512


class Http(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (str(ended) if self.path == "/ended" else "you asked for " + self.path) + "\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


class Bye(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"bye\n")


class Line(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline()
        self.wfile.write(b"%d bytes\n" % len(line))
        self.rfile.read()


class Gone(socketserver.BaseRequestHandler):
    def handle(self):
        global ended
        try:
            while self.request.recv(1024):
                pass
        except OSError:
            pass
        with lock:
            ended += 1


for port, handler in [(8001, Bye), (8002, Line), (8003, Gone)]:
    threading.Thread(target=Server(("", port), handler).serve_forever, daemon=True).start()
main = Server(("", 8000), Http)
print("serving", flush=True)
main.serve_forever()
