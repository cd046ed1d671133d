/** Types of peers-setup.mjs. */
export function peersPython(): string;
export function trainerPackages(python: string): string;
