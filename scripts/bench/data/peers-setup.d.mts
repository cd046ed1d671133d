/** Types of peers-setup.mjs. */
export function peersPython(): string;
