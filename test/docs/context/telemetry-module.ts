import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventingModule } from 'nestjs-eventing';

// the snippet

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
await app.close();
