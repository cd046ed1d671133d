/** Addresses that sockets listen on, read in one place: what the options allow is what a socket takes. */

const ADDRESS = /^tcp:\/\/(\[[0-9a-fA-F:.]+\]|\*|[^:/[\]*]+):(\d{1,5}|\*)$/;
/** Every network of this machine, as URL writes it. */
const EVERYWHERE = ["*", "0.0.0.0", "[::]", "[::ffff:0:0]"];

/** Host and port of `tcp://host:port`; null when it is none. Port 0 (or `*`) stands for any. */
export function parseAddress(address: string): { readonly host: string; readonly port: number } | null {
  const [, host = "", port = ""] = ADDRESS.exec(address) ?? [];
  const number = port === "*" ? 0 : Number(port);
  return host === "" || number > 65_535 ? null : { host, port: number };
}

/** Whether who listens at a host does so on every network; URL knows the many ways to write that, e.g. `[::0]`. */
export function isWildcard(host: string): boolean {
  const url = `http://${host}`;
  return URL.canParse(url) && EVERYWHERE.includes(new URL(url).hostname);
}
