import asyncio, http.server, os, socket, threading, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.path.encode() * 1000
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = 'http://127.0.0.1:%d' % server.server_port
print([len(urllib.request.urlopen(url + '/' + 'x' * n).read()) for n in (1, 10, 100)])
server.shutdown()

async def echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data.upper())
        await writer.drain()
    writer.close()

async def client(open_it, text):
    reader, writer = await open_it()
    writer.write(text * 500)
    writer.write_eof()
    data = await reader.read()
    writer.close()
    return len(data), data[:5]

async def main():
    tcp = await asyncio.start_server(echo, '::1', 0)
    unix = await asyncio.start_unix_server(echo, '/tmp/echo.sock')
    port = tcp.sockets[0].getsockname()[1]
    print(await asyncio.gather(*(client(lambda: asyncio.open_connection('::1', port), b'hello') for _ in range(5))))
    print(await client(lambda: asyncio.open_unix_connection('/tmp/echo.sock'), b'unix '))
    os.unlink('/tmp/echo.sock')

asyncio.run(main())
a, b = socket.socketpair()
socket.send_fds(a, [b'fd'], [0])
print(socket.recv_fds(b, 10, 2)[0])
