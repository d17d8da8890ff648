/** Who makes lanes of connections, and closes those of one. */
export interface LaneKeeper {
  open(): string;
  release(lane: string): void;
}

/** A place on a lane, beside others. */
export interface LanePlace {
  readonly lane: string;
  /** Idempotent. */
  leave(): void;
}

/** Lanes of connections that are shared by more users than there may be lanes. One that its last user leaves is released. */
export class SharedLanes {
  private readonly users = new Map<string, number>();

  constructor(
    private readonly most: number,
    private readonly keeper: LaneKeeper,
  ) {}

  /** A place on a lane of its own while there may be one more, else beside the fewest others. */
  join(): LanePlace {
    const lane = this.users.size < this.most ? this.keeper.open() : this.leastUsed();
    this.users.set(lane, (this.users.get(lane) ?? 0) + 1);
    let isHere = true;
    const leave = (): void => {
      if (isHere) this.left(lane);
      isHere = false;
    };
    return { lane, leave };
  }

  private left(lane: string): void {
    const rest = (this.users.get(lane) ?? 0) - 1;
    if (rest > 0) {
      this.users.set(lane, rest);
      return;
    }
    this.users.delete(lane);
    this.keeper.release(lane);
  }

  private leastUsed(): string {
    const [first = ''] = [...this.users].sort(([, some], [, others]) => some - others).map(([lane]) => lane);
    return first;
  }
}
