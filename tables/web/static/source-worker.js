// One connection for all open pages: a browser allows six to a server, and people open many markets.

import { Source } from "./source.js";

// A reader who goes from page to page has none open for a moment.
const LINGER_MS = 5_000;
const ports = new Set();
let closing;

const source = new Source((message) => {
  for (const port of ports) port.postMessage(message);
});

self.addEventListener("connect", (event) => {
  const [port] = event.ports;
  port.onmessage = ({ data }) => {
    if (data === "hello") {
      clearTimeout(closing);
      ports.add(port);
      port.postMessage(source.snapshot());
      source.open();
    } else if (data === "bye") {
      ports.delete(port);
      if (!ports.size) closing = setTimeout(() => source.stop(), LINGER_MS);
    }
  };
  port.start();
});
