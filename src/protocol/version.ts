/** The version of the wire; both sides refuse any other one at hello. */
export const PROTOCOL_VERSION = 7;
