//! The whole path over real HTTP: calls that are cancelled, servers that stop or are killed, policies
//! that change under way, a journal that cannot grow, questions to a person, and what must not leak.

mod approval;
mod cancel;
mod confirm;
mod ends;
mod full;
mod jobs;
mod leaks;
mod life;
mod reload;
mod rows;
mod scopes;
