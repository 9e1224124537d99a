import queue
import threading

jobs, results = queue.Queue(), queue.Queue()


def work():
    while True:
        n = jobs.get()
        if n is None:
            return
        results.put((n, sum(range(n))))


threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads:
    t.start()
for n in range(0, 20000, 100):
    jobs.put(n)
for _ in threads:
    jobs.put(None)
for t in threads:
    t.join()
total = {}
while not results.empty():
    n, s = results.get()
    total[n] = s
print(len(total), sum(total.values()))

lock, count = threading.Lock(), 0


def bump():
    global count
    for _ in range(10000):
        with lock:
            count += 1


threads = [threading.Thread(target=bump) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print(count)
event = threading.Event()
print(event.wait(0.05))
threading.Timer(0.02, event.set).start()
print(event.wait(5))
