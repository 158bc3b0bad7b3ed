//! The text format of Prometheus (exposition formats, version 0.0.4), as much of it as is told here.

use std::fmt::Write as _;

/// The media type of a page.
pub const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
}

/// A page of samples, family by family.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    family: &'static str,
}

impl Page {
    /// Begins a family; its samples follow.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Self {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.family = name;
        self
    }

    /// One sample of the family.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.line("", labels, value)
    }

    /// A histogram of the family: cumulative counts by upper bound (the last bound is infinite), and the sum.
    pub fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        buckets: impl IntoIterator<Item = (f64, u64)>,
        sum: f64,
    ) -> &mut Self {
        let mut all = 0;
        for (bound, count) in buckets {
            let bound = match bound.is_finite() {
                true => bound.to_string(),
                false => "+Inf".to_owned(),
            };
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.line("_bucket", &labels, count as f64);
            all = count;
        }
        self.line("_sum", labels, sum);
        self.line("_count", labels, all as f64)
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) -> &mut Self {
        let _ = write!(self.text, "{}{suffix}", self.family);
        for (at, (name, value)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.text, "{open}{name}=\"{value}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
        self
    }

    /// The page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_can_make_a_line() {
        let mut page = Page::default();
        page.family("a_total", Kind::Counter, "what\nit is")
            .sample(&[("one", "x\"} 1\nb_total 2\\"), ("two", "")], 3.0)
            .sample(&[], 0.5);
        let text = "# HELP a_total what\\nit is\n# TYPE a_total counter\n\
                    a_total{one=\"x\\\"} 1\\nb_total 2\\\\\",two=\"\"} 3\na_total 0.5\n";
        assert_eq!(page.into_text(), text);
    }

    #[test]
    fn a_histogram_has_its_sum_and_count() {
        let mut page = Page::default();
        page.family("b_seconds", Kind::Histogram, "b").histogram(
            &[("stage", "mask")],
            [(0.001, 1), (f64::INFINITY, 4)],
            2.5,
        );
        let text = "# HELP b_seconds b\n# TYPE b_seconds histogram\n\
                    b_seconds_bucket{stage=\"mask\",le=\"0.001\"} 1\nb_seconds_bucket{stage=\"mask\",le=\"+Inf\"} 4\n\
                    b_seconds_sum{stage=\"mask\"} 2.5\nb_seconds_count{stage=\"mask\"} 4\n";
        assert_eq!(page.into_text(), text);
    }
}
