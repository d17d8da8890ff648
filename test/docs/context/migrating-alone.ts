import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { kafka } from 'nestjs-eventing/kafka';
import { EventingTransport } from 'nestjs-eventing/microservices';

@Module({})
class OrdersModule {}

// the snippet
