export const PROTOCOL = "default";
