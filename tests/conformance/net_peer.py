"""The other end of linux_net.sh: net_peer.py ADDRESS FILE. Port 8000 sends FILE, port 8001 answers with the digest of what it got."""
import hashlib
import socketserver
import sys
import threading


class Sender(socketserver.BaseRequestHandler):
    def handle(self):
        with open(sys.argv[2], 'rb') as file:
            self.request.sendfile(file)


class Sink(socketserver.BaseRequestHandler):
    def handle(self):
        digest = hashlib.sha256()
        while data := self.request.recv(1 << 16):
            digest.update(data)
        self.request.sendall(digest.hexdigest().encode() + b'\n')


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # the driver is unbound in the midst of transfers


servers = [Server((sys.argv[1], port), handler) for port, handler in ((8000, Sender), (8001, Sink))]
for server in servers:
    threading.Thread(target=server.serve_forever).start()
