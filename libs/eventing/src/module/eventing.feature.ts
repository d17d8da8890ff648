import { Module } from '@nestjs/common';
import type { EventClass } from '../declare/metadata.js';
import type { SelfHandlingClass } from '../declare/self-handling.js';

export interface FeatureOptions {
  /**
   * Events that handle themselves here: each class with `handle(context)` is a listener, named `Class.handle`. Its options are given in
   * `forRoot({ listeners })`. @default none
   */
  readonly handlers?: readonly SelfHandlingClass[];
}

/** What `forFeature` was given. It stands among the providers, where the explorer finds it. */
export class FeatureEvents {
  constructor(
    readonly events: readonly EventClass[],
    readonly handlers: readonly SelfHandlingClass[],
  ) {}
}

/** The module of `forFeature`: the root's own is imported once. */
@Module({})
export class EventingFeatureModule {}
