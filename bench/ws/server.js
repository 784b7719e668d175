// The same fan-out on `ws`: every frame to every socket, at a rate.
// Usage: server.js RATE SIZE CLIENTS  (a rate of 0 publishes nothing; CLIENTS are waited for)
import { WebSocketServer } from "ws";

const [rate, size, clients] = process.argv.slice(2).map(Number);
const text = "x".repeat(size);
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false }, () =>
  console.log(`listening at 127.0.0.1:${server.address().port}`),
);

if (rate > 0) {
  // Whatever is due since the last turn, one frame after the other.
  let began;
  let sent = 0;
  setInterval(() => {
    if (server.clients.size < clients) return;
    began ??= performance.now();
    const due = Math.floor(((performance.now() - began) / 1000) * rate);
    // What could not be sent for a second is skipped, lest it pile up in memory.
    if (due - sent > rate) sent = due - 1;
    for (; sent < due; sent++) for (const socket of server.clients) socket.send(text);
  }, 1);
}
