// The room on Socket.IO: the token checked in a middleware, a room of its own adapter, and `emit`
// to the room. Only the WebSocket transport, on its default engine `ws`.

import { createSecretKey } from 'node:crypto'
import { createServer } from 'node:http'
import jwt from 'jsonwebtoken'
import { Server } from 'socket.io'

// A key object, not the string: see ws_server.mjs.
const SECRET = createSecretKey(Buffer.from(process.env.BENCH_JWT_SECRET))

const server = createServer()
const io = new Server(server, { transports: ['websocket'], serveClient: false })
let seq = 0

// As its documentation advises for many connections: the first HTTP request is not kept.
io.engine.on('connection', (raw) => {
  raw.request = null
})

io.use((socket, next) => {
  try {
    socket.data.user = jwt.verify(socket.handshake.auth.token, SECRET, { algorithms: ['HS256'] })
  } catch {
    next(new Error('invalid token'))
    return
  }
  next()
})

io.on('connection', (socket) => {
  const channel = socket.handshake.auth.channel_id
  socket.join(`channel:${channel}`)
  socket.on('message', (command) => {
    seq += 1
    io.to(`channel:${command.channel_id}`).emit('message', {
      channel_id: command.channel_id,
      payload: command.payload,
      user_id: socket.data.user.sub,
      id: seq,
      seq,
      sent_at: new Date().toISOString(),
    })
  })
  socket.emit('subscribed', { channel_id: channel, head: seq })
})

server.listen(Number(process.argv[2]), '127.0.0.1')
