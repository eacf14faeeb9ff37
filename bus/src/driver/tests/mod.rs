mod cases;
mod schedules;
mod server;
mod world;
