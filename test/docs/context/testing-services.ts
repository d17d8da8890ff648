import assert from 'node:assert/strict';
import { Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { EventingModule, EventListener, EventManager } from 'nestjs-eventing';
import { testEventing } from 'nestjs-eventing/testing';
import { AppModule, OrderPlaced } from './shop.js';

@EventListener(OrderPlaced)
class CountOrders {
  on(): void {}
}

@Module({ imports: [EventingModule.forRoot({ service: 'statistics' })], providers: [CountOrders] })
class StatisticsModule {}

// the snippet

await shop.close();
await statistics.close();
assert(true);
