//! `tollgate demo`: a shop, a repository, two people, and the real server between them.
//!
//! Everything is made new in one folder: databases, keys, secrets. The issuer is Tollgate's own
//! ([`crate::identity::issuer`]), on loopback, and knows the demo's two users only.

pub mod client;
pub mod play;
pub mod register;
pub mod repo;
pub mod run;
pub mod shop;

/// The configuration of the demo (and of the tests): one shop, one repository, one issuer.
///
/// `url` is where Tollgate will listen (`http://127.0.0.1:PORT`), `mode` how tokens are checked.
#[must_use]
pub fn config_text(url: &str, issuer: &str, issuer_url: &str, mode: &str) -> String {
    let listen = url.trim_start_matches("http://");
    let uid = rustix::process::getuid().as_raw(); // so that `tollgate stdio` works on the same file
    format!(
        r#"# What `tollgate demo` runs with. Every key is explained in docs/configuration.md.
[server]
listen = "{listen}"
public_url = "{url}"

[store]
url = "sqlite:journal.db"

[[issuer]]
name = "{issuer}"
url = "{issuer_url}"
mode = "{mode}"
audience = "{url}/mcp"
groups_claim = "/groups"

[groups]
analyst = ["{issuer}:analyst", "local:{uid}"]
developer = ["{issuer}:developer", "local:{uid}"]
dba = ["{issuer}:dba"]

[policies]
dir = "policies"

[tools]
dir = "tools"

[[resource]]
name = "shop"
kind = "sqlite"
path = "shop.db"
description = "Orders, customers and payments of a small shop"
labels = ["prod", "pii", "shop"]
[resource.columns]
"customers.id" = "public"
"customers.name" = "public"
"customers.email" = "email"
"customers.phone" = "phone"
"customers.city" = "public"
"customers.country" = "public"
"customers.created_at" = "public"
"products.id" = "public"
"products.name" = "public"
"products.category" = "public"
"products.price_cents" = "public"
"orders.id" = "public"
"orders.customer_id" = "public"
"orders.ordered_at" = "public"
"orders.status" = "public"
"order_items.order_id" = "public"
"order_items.product_id" = "public"
"order_items.quantity" = "public"
"order_items.price_cents" = "public"
"payments.id" = "public"
"payments.order_id" = "public"
"payments.card_number" = "card"
"payments.card_brand" = "public"
"payments.amount_cents" = "public"
"payments.paid_at" = "public"
"reviews.id" = "public"
"reviews.product_id" = "public"
"reviews.customer_id" = "public"
"reviews.rating" = "public"
"reviews.body" = "public"

[[resource]]
name = "code"
kind = "git"
path = "code.git"
refs = ["refs/heads/main", "refs/tags/*"]
hidden = [".env*", "*.pem", "*.key", "secrets/"]
description = "The source of the shop's tools"
labels = ["code"]

[classes]
email = "constant"
phone = "null"
card = "constant"
"#
    )
}
