import type { Envelope } from 'nestjs-eventing';
import { SeededRandom } from '../conformance/seeded.random.js';

/** How many events, and how many keys, are remembered. */
const MEMORY = 10_000;

/**
 * Random numbers that depend on the seed and on which event it is, not on when it comes: whatever runs side by side, the third
 * event of a key at a listener draws the same at its second attempt in every run.
 */
export class SeededDraws {
  /** Events that have come, by stream and key. */
  readonly #counts = new Map<string, number>();
  /** The number of an event among those of its stream and key. */
  readonly #numbers = new Map<string, number>();

  constructor(private readonly seed: number) {}

  /** At least 0, below 1. @param stream what the event is drawn for: a listener's name */
  draw(stream: string, envelope: Envelope): number {
    const { key = '', attempt } = envelope;
    const random = new SeededRandom(
      hash(`${this.seed}\n${stream}\n${key}\n${this.#numberOf(stream, envelope)}\n${attempt}`),
    );
    return random.next();
  }

  #numberOf(stream: string, { id, source, key = '' }: Envelope): number {
    const event = `${stream}\n${source}\n${id}`;
    const known = this.#numbers.get(event);
    if (known !== undefined) return known;
    const lane = `${stream}\n${key}`;
    const number = (this.#counts.get(lane) ?? 0) + 1;
    remember(this.#counts, lane, number);
    remember(this.#numbers, event, number);
    return number;
  }
}

/** The one that was set the longest time ago makes room. */
function remember(map: Map<string, number>, key: string, value: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > MEMORY) for (const oldest of map.keys()) return void map.delete(oldest);
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  return value;
}
