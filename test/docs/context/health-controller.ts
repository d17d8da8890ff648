import assert from 'node:assert/strict';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { HealthCheck, HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { EventingHealth, EventingModule } from 'nestjs-eventing';

// the snippet

@Module({ imports: [EventingModule.forRoot(), TerminusModule], controllers: [HealthController] })
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
const { status } = await app.get(HealthController).ready();
await app.close();
assert.equal(status, 'ok');
