import type {
  Abilities,
  ChannelPlan,
  DeadLetterStore,
  Delivery,
  EventProvider,
  OutgoingMessage,
  ProviderContext,
  PublishFailure,
  Subscriber,
  Subscription,
  SubscriptionHandle,
  WireBinding,
} from 'nestjs-eventing';

interface Message {
  readonly id: string;
}
interface Queue {
  readonly name: string;
}

declare const StarlingDelivery: new (message: Message) => Delivery;

export abstract class StarlingProvider implements EventProvider {
  readonly kind = 'starling';
  abstract readonly abilities: Abilities;
  abstract readonly binding: WireBinding;
  abstract readonly deadLetters: DeadLetterStore;

  constructor(
    private readonly broker: { declare(names: readonly string[]): Promise<Queue[]> },
    private readonly context: ProviderContext,
  ) {}

  abstract start(channels: readonly ChannelPlan[]): Promise<void>;
  abstract publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]>;
  abstract stop(): Promise<void>;

  // the snippet

  protected abstract consume(
    queues: readonly Queue[],
    window: number,
    take: (message: Message) => void,
  ): SubscriptionHandle;
}
