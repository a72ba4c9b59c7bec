// The room on Node and `ws`: authenticated in the `upgrade` event and sent to all in a loop over
// the clients, both as the README of `ws` shows them.

import { createSecretKey } from 'node:crypto'
import { createServer } from 'node:http'
import jwt from 'jsonwebtoken'
import { WebSocket, WebSocketServer } from 'ws'

// A key object, not the string: `jsonwebtoken` spends 40 times as long on a string, because it
// tries to read it as a public key first.
const SECRET = createSecretKey(Buffer.from(process.env.BENCH_JWT_SECRET))
const PING_MILLISECONDS = 30_000

const server = createServer()
const room = new WebSocketServer({ noServer: true, perMessageDeflate: false })
let seq = 0

function broadcast(event) {
  const text = Buffer.from(JSON.stringify(event)) // encoded once, not for each client
  for (const client of room.clients) {
    if (client.readyState === WebSocket.OPEN) client.send(text, { binary: false })
  }
}

function heartbeat() {
  this.isAlive = true
}

room.on('connection', (client, request, user) => {
  const channel = Number(new URL(request.url, 'http://localhost').searchParams.get('channel_id'))
  client.isAlive = true
  client.on('error', console.error)
  client.on('pong', heartbeat)
  client.on('message', (text) => {
    const command = JSON.parse(text)
    seq += 1
    broadcast({
      type: 'message',
      channel_id: command.channel_id,
      payload: command.payload,
      user_id: user.sub,
      id: seq,
      seq,
      sent_at: new Date().toISOString(),
    })
  })
  client.send(JSON.stringify({ type: 'subscribed', channel_id: channel, head: seq }))
})

server.on('upgrade', (request, socket, head) => {
  socket.on('error', console.error) // one that is refused may be reset before it has read why
  const [scheme, token] = (request.headers.authorization ?? '').split(' ')
  let user
  try {
    if (scheme !== 'Bearer') throw new Error('no token')
    user = jwt.verify(token, SECRET, { algorithms: ['HS256'] })
  } catch {
    socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n')
    return
  }
  socket.removeListener('error', console.error)
  room.handleUpgrade(request, socket, head, (client) => {
    room.emit('connection', client, request, user)
  })
})

setInterval(() => {
  for (const client of room.clients) {
    if (!client.isAlive) {
      client.terminate()
      continue
    }
    client.isAlive = false
    client.ping()
  }
}, PING_MILLISECONDS)

server.listen(Number(process.argv[2]), '127.0.0.1')
