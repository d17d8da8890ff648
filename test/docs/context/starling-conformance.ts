import type { ProviderFactory } from 'nestjs-eventing';

interface Connect {
  (): Promise<void>;
}

declare const url: string;
declare function starling(options: { url: string; connect: Connect }): ProviderFactory;
declare class Network {
  of(instance: string): Connect;
  cut(instance: string): void;
  cutAll(): void;
  mend(): void;
  close(): Promise<void>;
}
declare const admin: {
  forbid(channel: string): Promise<void>;
  fill(service: string): Promise<() => Promise<void>>;
  queueNames(): Promise<string[]>;
};

// the snippet
