import { backoff } from 'nestjs-eventing';

/** Milliseconds for which a connection lives that was worth making. */
const LONG_ENOUGH = 1_000;
/** Connections that may come to nothing before there is a pause. */
const FREE = 2;

/** Pauses between connections that can be made and come to nothing: a broker that ends each at once must not be stormed. */
export class ReconnectPace {
  private fruitless = 0;

  /** @param longest of the pauses, in milliseconds */
  constructor(private readonly longest = 5_000) {}

  /**
   * The pause before the next connection, in milliseconds.
   * @param lived milliseconds
   * @param progress whether anything was stored or settled by it
   */
  after(lived: number, progress: boolean): number {
    this.fruitless = progress || lived >= LONG_ENOUGH ? 0 : this.fruitless + 1;
    return this.fruitless <= FREE ? 0 : backoff(this.fruitless - FREE, 20, this.longest);
  }
}
