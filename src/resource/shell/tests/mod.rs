mod support;

mod bounds;
mod inside;
mod life;
mod ordinary;
mod running;
