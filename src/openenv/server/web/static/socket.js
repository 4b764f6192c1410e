// The connection of this tab to its visit. A lost one is tried again; a tab that is loaded again is the same visitor.

const KEY = "openenv-visitor";
const LONGEST = 10000;

export class Socket {
  constructor(path, heard, linked) {
    this.path = path;
    this.heard = heard;
    this.linked = linked;
    this.pause = 500;
    this.open();
  }

  get visitor() {
    try {
      return sessionStorage.getItem(KEY + location.pathname) ?? "";
    } catch {
      return ""; // storage may be forbidden: then each loading is another visit
    }
  }

  set visitor(id) {
    try {
      sessionStorage.setItem(KEY + location.pathname, id);
    } catch { /* likewise */ }
    document.dispatchEvent(new CustomEvent("visitor", { detail: id }));
  }

  open() {
    const address = new URL(this.path, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    if (this.visitor) address.searchParams.set("visitor", this.visitor);
    const socket = (this.socket = new WebSocket(address));
    let wasUp = false;
    socket.onopen = () => {
      wasUp = true;
      this.pause = 500;
      this.linked(true);
    };
    socket.onmessage = (event) => this.heard(JSON.parse(event.data));
    socket.onclose = () => {
      this.linked(false, wasUp ? "The connection to the server is lost. It is being tried again." : "The server can not be reached, or does not let this page in. It is being tried again.");
      setTimeout(() => this.open(), this.pause);
      this.pause = Math.min(this.pause * 2, LONGEST);
    };
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
