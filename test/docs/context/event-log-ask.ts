import { Injectable } from '@nestjs/common';
import { EventLog } from 'nestjs-eventing';

// the snippet
