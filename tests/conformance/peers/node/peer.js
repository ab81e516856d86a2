// A real HTTP/2 server and a real HTTP/2 client, of Node's http2, both with prior knowledge, for the tests.
//
//   node peer.js serve ADDRESS PORT
//   node peer.js call URL OUT CALL...      a CALL is three words: METHOD PATH SIZE
//
// What they answer, send and print is what ../go/main.go says.
'use strict'
const fs = require('fs')
const http2 = require('http2')
const path = require('path')

function serve(address, port) {
  const server = http2.createServer()
  server.on('error', fail)
  server.on('stream', (stream, headers) => {
    const parts = []
    let sent = '-'
    // A client that resets its stream is the client's business.
    stream.on('error', () => {})
    stream.on('data', (part) => parts.push(part))
    stream.on('trailers', (trailers) => { sent = trailers['x-sent'] || '-' })
    stream.on('end', () => {
      let body = Buffer.concat(parts)
      console.log(headers[':method'], headers[':path'], body.length, sent)
      if (headers[':path'] === '/small') body = Buffer.from('small\n')
      if (stream.destroyed) return
      stream.respond({ ':status': 200 }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'yes' }))
      stream.end(body)
    })
  })
  server.listen(Number(port), address)
}

function once(session, method, target, size, file) {
  return new Promise((resolve, reject) => {
    const length = Number(size)
    const headers = { ':method': method, ':path': target }
    // Go drops a trailer that was not announced.
    if (length > 0) headers.trailer = 'x-sent'
    const stream = session.request(headers, { endStream: length === 0, waitForTrailers: length > 0 })
    const parts = []
    let status = 0
    let end = '-'
    stream.on('error', reject)
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sent': 'yes' }))
    stream.on('response', (headers) => { status = headers[':status'] })
    stream.on('trailers', (trailers) => { end = trailers['x-end'] || '-' })
    stream.on('data', (part) => parts.push(part))
    stream.on('close', () => {
      fs.writeFileSync(file, Buffer.concat(parts))
      resolve(`${status} 2 ${end}`)
    })
    if (length > 0) stream.end(Buffer.alloc(length).map((_, i) => i % 251))
  })
}

async function call(url, out, words) {
  const session = http2.connect(url)
  session.on('error', fail)
  const one = (n) => once(session, words[3 * n], words[3 * n + 1], words[3 * n + 2], path.join(out, String(n)))
  const first = await one(0)
  const others = []
  for (let n = 1; n < words.length / 3; n++) others.push(one(n))
  console.log([first, ...await Promise.all(others)].join('\n'))
  session.close()
}

function fail(error) {
  console.error(error)
  process.exit(1)
}

const [verb, ...rest] = process.argv.slice(2)
if (verb === 'serve') serve(...rest)
else call(rest[0], rest[1], rest.slice(2)).catch(fail)
