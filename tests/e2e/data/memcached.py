import socket, subprocess, time
p = subprocess.Popen(['memcached', '-u', 'root', '-l', '127.0.0.1', '-p', '7211', '-U', '0'])
for _ in range(50):
    try:
        s = socket.create_connection(('127.0.0.1', 7211))
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
s.sendall(b'set k 0 0 5\r\nhello\r\nget k\r\nquit\r\n')
print(b''.join(iter(lambda: s.recv(100), b'')))
p.terminate()
print(p.wait())
