/** What Kafka's flexible requests are made of, which kafkajs cannot write. */

export const NO_TAGS = Buffer.from([0]);

/** Of a list or a text: one more than there are. */
export function compactLength(length: number): Buffer {
  const bytes: number[] = [];
  for (let rest = length + 1; ; rest >>>= 7) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 127) | 128);
  }
}

export function compactText(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([compactLength(bytes.length), bytes]);
}
