// Worker processes that share a listening socket, worker threads with shared memory, child processes with messages.
const cluster = require('cluster'), http = require('http'), { Worker, isMainThread, workerData } = require('worker_threads');
const { fork, exec } = require('child_process'), fs = require('fs');

if (!isMainThread) {
    const words = new Int32Array(workerData);
    for (let i = 0; i < 20000; i++)
        Atomics.add(words, 0, 1);
    Atomics.notify(words, 0);
} else if (process.argv[2] === 'child') {
    process.on('message', (m) => { process.send({ answer: m.question * 2 }); process.disconnect(); });
} else if (cluster.isMaster) {
    const seen = new Set();
    let listening = 0;
    for (let i = 0; i < 3; i++)
        cluster.fork();
    cluster.on('listening', () => { if (++listening === 3) ask(12); });
    const ask = (left) => {
        if (left === 0)
            return finish();
        http.get({ port: 7093, agent: false }, (r) => {
            let text = '';
            r.on('data', (d) => text += d).on('end', () => { seen.add(text); ask(left - 1); });
        });
    };
    const finish = () => {
        console.log('workers', seen.size);
        cluster.disconnect(threads);
    };
    const threads = () => {
        const shared = new SharedArrayBuffer(4);
        let ended = 0;
        for (let i = 0; i < 4; i++)
            new Worker(__filename, { workerData: shared }).on('exit', (code) => {
                if (++ended === 4) { console.log('threads', new Int32Array(shared)[0], code); children(); }
            });
    };
    const children = () => {
        const c = fork(__filename, ['child']);
        c.on('message', (m) => console.log('child', m.answer));
        c.on('exit', (code) => exec('echo from a shell; exit 4', (e, out) => {
            console.log(code, out.trim(), e.code);
            fs.writeFileSync('/tmp/x', 'y'.repeat(100000));
            fs.promises.readFile('/tmp/x').then((d) => console.log('file', d.length));
        }));
        c.send({ question: 21 });
    };
} else {
    http.createServer((q, r) => r.end('worker ' + cluster.worker.id)).listen(7093, '127.0.0.1');
}
