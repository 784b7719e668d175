// A chat of rooms on socket.io, as its documentation leads one to write it: what is said in a room is
// numbered and sent to all in it. Everything is in memory.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"] });
const numbers = new Map();

io.on("connection", (socket) => {
  const { username } = socket.handshake.auth;
  socket.on("join", (room, joined) => {
    socket.join(room);
    joined();
  });
  socket.on("message", ({ room, text }) => {
    if (!socket.rooms.has(room)) return;
    const seq = (numbers.get(room) ?? 0) + 1;
    numbers.set(room, seq);
    io.to(room).emit("message", { seq, username, text, sent_at: new Date().toISOString() });
  });
});

http.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () =>
  console.log(`listening at 127.0.0.1:${http.address().port}`),
);
