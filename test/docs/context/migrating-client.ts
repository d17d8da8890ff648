import assert from 'node:assert/strict';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventingModule, EventingRuntime } from 'nestjs-eventing';
import { EventingClient } from 'nestjs-eventing/microservices';
import { lastValueFrom } from 'rxjs';

const eventing = { service: 'shop' };

// the snippet

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'] });
const client = app.get(EventingClient);
const envelope = await lastValueFrom(client.emit<{ source: string }>('orders.placed', { orderId: 'one' }));
assert.equal(envelope.source, '/shop');
await app.close();
