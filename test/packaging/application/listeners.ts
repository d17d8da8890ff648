import { setImmediate } from 'node:timers/promises';
import {
  BadRequestException,
  Catch,
  type ExceptionFilter,
  Injectable,
  type PipeTransform,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import { Envelope, EventBody, EventHeader, EventListener } from 'nestjs-eventing';
import { TenantGuard, Visit } from './enhancers.js';
import { Journal } from './journal.js';
import { OrderPlaced, ShopClosing } from './order-placed.event.js';

@EventListener(OrderPlaced)
export class SendReceipt implements EventListener<OrderPlaced> {
  constructor(private readonly journal: Journal) {}

  on(order: OrderPlaced, envelope: Envelope<OrderPlaced>): void {
    this.journal.lines.push(
      `receipt for ${order.orderId}: ${order instanceof OrderPlaced}, attempt ${envelope.attempt}`,
    );
  }
}

@Injectable()
class ToEuros implements PipeTransform<OrderPlaced, OrderPlaced> {
  transform(order: OrderPlaced): OrderPlaced {
    return Object.assign(new OrderPlaced(), order, { cents: order.cents / 100 });
  }
}

@Catch(BadRequestException)
class Shrug implements ExceptionFilter {
  catch(): string {
    return 'dealt with';
  }
}

@Injectable()
export class Accounting {
  constructor(private readonly journal: Journal) {}

  @EventListener(OrderPlaced)
  book(@EventBody(ToEuros) order: OrderPlaced, @EventHeader('tenant') tenant: string | undefined): void {
    this.journal.lines.push(`booked ${order.cents} for ${tenant}`);
  }

  @EventListener(OrderPlaced)
  @UseFilters(Shrug)
  tax(): void {
    this.journal.lines.push('no tax');
    throw new BadRequestException();
  }

  /** No filter is bound for what it throws: it becomes a dead letter. */
  @EventListener(OrderPlaced, { retry: { attempts: 2, delay: 1 } })
  @UseFilters(Shrug)
  audit(): void {
    throw new Error('the auditor is out');
  }
}

@UseGuards(TenantGuard)
@EventListener(OrderPlaced)
export class Invoices implements EventListener<OrderPlaced> {
  constructor(
    private readonly journal: Journal,
    private readonly visit: Visit,
  ) {}

  on(order: OrderPlaced): void {
    this.journal.lines.push(`invoice for ${order.orderId} of ${this.visit.tenant}`);
  }
}

/** At work while the application closes. */
@EventListener(ShopClosing)
export class CloseBooks implements EventListener<ShopClosing> {
  readonly begun: Promise<void>;
  private begin!: () => void;

  constructor(private readonly journal: Journal) {
    this.begun = new Promise((resolve) => (this.begin = resolve));
  }

  async on(): Promise<void> {
    this.begin();
    for (let turn = 0; turn < 10; turn++) await setImmediate();
    this.journal.closing.push('the books are closed');
  }
}
