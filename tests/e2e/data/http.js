const http = require('http');
const server = http.createServer((request, response) => response.end(request.url.repeat(1000)));
server.listen(0, '127.0.0.1', async () => {
  const base = 'http://127.0.0.1:' + server.address().port;
  const get = (path) => new Promise((resolve, reject) => http.get(base + path, (r) => {
    let n = 0;
    r.on('data', (d) => n += d.length);
    r.on('end', () => resolve(n));
  }).on('error', reject));
  console.log(await Promise.all(['/a', '/bb', '/ccc'].map(get)));
  server.close();
  process.exit(0);
});
