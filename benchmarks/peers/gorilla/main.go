// The room on Go and gorilla/websocket: a hub, and for each connection one goroutine that reads and
// one that writes, with a buffered channel between them. That is the pattern of the library's chat
// example; a client whose channel is full is dropped, as there.
package main

import (
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

const (
	writeWait      = 10 * time.Second
	pongWait       = 60 * time.Second
	pingPeriod     = pongWait * 9 / 10
	maxMessageSize = 64 * 1024
	sendQueue      = 256
)

type command struct {
	Type      string `json:"type"`
	ChannelID int64  `json:"channel_id"`
	Payload   string `json:"payload"`
}

type event struct {
	Type      string `json:"type"`
	ChannelID int64  `json:"channel_id"`
	Payload   string `json:"payload"`
	UserID    string `json:"user_id"`
	ID        int64  `json:"id"`
	Seq       int64  `json:"seq"`
	SentAt    string `json:"sent_at"`
}

type subscribed struct {
	Type      string `json:"type"`
	ChannelID int64  `json:"channel_id"`
	Head      int64  `json:"head"`
}

type said struct {
	author string
	command
}

// hub owns the room: only its goroutine touches the clients and the number.
type hub struct {
	clients map[*client]bool
	seq     int64
	join    chan *client
	leave   chan *client
	say     chan said
}

type client struct {
	hub     *hub
	conn    *websocket.Conn
	user    string
	channel int64
	send    chan []byte
}

func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err) // of our own types: cannot happen
	}
	return text
}

func (h *hub) run() {
	for {
		select {
		case c := <-h.join:
			h.clients[c] = true
			c.send <- encode(subscribed{"subscribed", c.channel, h.seq})
		case c := <-h.leave:
			h.drop(c)
		case s := <-h.say:
			h.seq++
			now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
			h.broadcast(encode(event{
				"message", s.ChannelID, s.Payload, s.author, h.seq, h.seq, now,
			}))
		}
	}
}

func (h *hub) drop(c *client) {
	if h.clients[c] {
		delete(h.clients, c)
		close(c.send)
	}
}

func (h *hub) broadcast(text []byte) {
	for c := range h.clients {
		select {
		case c.send <- text:
		default:
			h.drop(c)
		}
	}
}

func (c *client) read() {
	defer func() {
		c.hub.leave <- c
		c.conn.Close()
	}()
	c.conn.SetReadLimit(maxMessageSize)
	alive := func(string) error { return c.conn.SetReadDeadline(time.Now().Add(pongWait)) }
	c.conn.SetPongHandler(alive)
	if alive("") != nil {
		return
	}
	for {
		_, text, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		var spoken command
		if json.Unmarshal(text, &spoken) != nil {
			return
		}
		c.hub.say <- said{c.user, spoken}
	}
}

// write sends one frame for each message; several never share a frame.
func (c *client) write() {
	ticker := time.NewTicker(pingPeriod)
	defer func() {
		ticker.Stop()
		c.conn.Close()
	}()
	for {
		kind, text := websocket.PingMessage, []byte(nil)
		select {
		case message, open := <-c.send:
			if !open {
				return
			}
			kind, text = websocket.TextMessage, message
		case <-ticker.C:
		}
		if c.conn.SetWriteDeadline(time.Now().Add(writeWait)) != nil ||
			c.conn.WriteMessage(kind, text) != nil {
			return
		}
	}
}

func authenticate(request *http.Request, secret []byte) (string, error) {
	token, found := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	if !found {
		return "", errors.New("no token")
	}
	key := func(*jwt.Token) (any, error) { return secret, nil }
	parsed, err := jwt.Parse(token, key, jwt.WithValidMethods([]string{"HS256"}))
	if err != nil {
		return "", err
	}
	return parsed.Claims.GetSubject()
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: room PORT (and BENCH_JWT_SECRET in the environment)")
	}
	secret := []byte(os.Getenv("BENCH_JWT_SECRET"))
	room := &hub{
		clients: make(map[*client]bool),
		join:    make(chan *client),
		leave:   make(chan *client),
		say:     make(chan said),
	}
	upgrader := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024}
	go room.run()
	http.HandleFunc("/ws", func(answer http.ResponseWriter, request *http.Request) {
		user, err := authenticate(request, secret)
		if err != nil {
			http.Error(answer, "invalid token", http.StatusUnauthorized)
			return
		}
		channel, err := strconv.ParseInt(request.URL.Query().Get("channel_id"), 10, 64)
		if err != nil {
			http.Error(answer, "channel_id must be a number", http.StatusBadRequest)
			return
		}
		conn, err := upgrader.Upgrade(answer, request, nil)
		if err != nil {
			return // it has answered already
		}
		c := &client{room, conn, user, channel, make(chan []byte, sendQueue)}
		room.join <- c
		go c.write()
		go c.read()
	})
	log.Fatal(http.ListenAndServe(net.JoinHostPort("127.0.0.1", os.Args[1]), nil))
}
