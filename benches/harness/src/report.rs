//! The results, as tables: in memory, in JSON and in Markdown.

use serde::{Deserialize, Serialize};

/// The results of one run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The processor and the system.
    pub machine: String,
    /// The command that made it.
    pub command: String,
    /// The number of times everything was measured, and the seconds of each measurement.
    pub rounds: usize,
    /// See `rounds`.
    pub seconds: f64,
    /// The servers compared.
    pub servers: Vec<ServerInfo>,
    /// A table for each measurement.
    pub tables: Vec<Table>,
}

/// A server, for the legend.
#[derive(Debug, Serialize, Deserialize)]
pub struct ServerInfo {
    /// Its name in the tables.
    pub name: String,
    /// Its description.
    pub what: String,
    /// Its version, if it has one of its own.
    pub version: Option<String>,
}

/// A kind of figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Metric {
    /// Its name, with its unit.
    pub name: String,
    /// The number of digits after the point that are worth showing.
    pub digits: usize,
}

impl Metric {
    /// A metric.
    pub fn new(name: &str, digits: usize) -> Self {
        Self {
            name: name.to_owned(),
            digits,
        }
    }
}

/// The figures of one measurement.
#[derive(Debug, Serialize, Deserialize)]
pub struct Table {
    /// Its name in `--cells`.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// The columns; rows are compared by the first.
    pub metrics: Vec<Metric>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// The figures of one server.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    /// The server.
    pub name: String,
    /// The figures of each round, in the order of the metrics.
    pub rounds: Vec<Vec<f64>>,
}

/// The median and the extremes of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle value, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// `None` if the sample is empty.
    pub fn of(mut sample: Vec<f64>) -> Option<Self> {
        sample.sort_by(f64::total_cmp);
        let (min, max) = (*sample.first()?, *sample.last()?);
        let (low, high) = (sample[(sample.len() - 1) / 2], sample[sample.len() / 2]);
        Some(Self {
            median: (low + high) / 2.0,
            min,
            max,
        })
    }
}

impl Row {
    /// The figures of a metric, over all rounds.
    pub fn spread(&self, metric: usize) -> Option<Spread> {
        let figures = self
            .rounds
            .iter()
            .filter_map(|round| round.get(metric).copied());
        Spread::of(figures.collect())
    }
}

impl Table {
    /// A table without rows.
    pub fn new(id: String, title: String, metrics: Vec<Metric>) -> Self {
        Self {
            id,
            title,
            metrics,
            rows: Vec::new(),
        }
    }

    /// Adds the figures of one round.
    pub fn add(&mut self, name: &str, figures: Vec<f64>) {
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.rounds.push(figures),
            None => self.rows.push(Row {
                name: name.to_owned(),
                rounds: vec![figures],
            }),
        }
    }

    /// A row by its name.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The median of the first metric, and its ratio to that of `reference`.
    pub fn compared(&self, name: &str, reference: &str) -> Option<(f64, Option<f64>)> {
        let median = self.row(name)?.spread(0)?.median;
        let reference = self.row(reference).and_then(|row| row.spread(0));
        let ratio = reference
            .filter(|of| of.median > 0.0)
            .map(|of| median / of.median);
        Some((median, ratio))
    }

    /// The table in Markdown, aligned so that its source is readable: the median of each metric, and for the first
    /// also the least, the most, and the ratio to `reference`.
    pub fn markdown(&self, reference: &str) -> String {
        let compares = self.row(reference).is_some();
        let mut head = vec![String::new()];
        for (index, metric) in self.metrics.iter().enumerate() {
            head.push(metric.name.clone());
            if index == 0 {
                head.push("least – most".to_owned());
                head.extend(compares.then(|| format!("× {reference}")));
            }
        }
        let rows = self
            .rows
            .iter()
            .map(|row| self.cells(row, compares.then_some(reference)));
        markdown(&head, &rows.collect::<Vec<_>>())
    }

    fn cells(&self, row: &Row, reference: Option<&str>) -> Vec<String> {
        let mut cells = vec![row.name.clone()];
        for (index, metric) in self.metrics.iter().enumerate() {
            let Some(spread) = row.spread(index) else {
                continue;
            };
            let show = |figure| number(figure, metric.digits);
            cells.push(show(spread.median));
            if index == 0 {
                cells.push(format!("{} – {}", show(spread.min), show(spread.max)));
            }
            if let Some(reference) = reference.filter(|_| index == 0) {
                let ratio = self
                    .compared(&row.name, reference)
                    .and_then(|(_, ratio)| ratio);
                cells.push(ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")));
            }
        }
        cells
    }
}

impl Report {
    /// The first metric of several tables: a row for each table, a column for each server that is in one of them.
    pub fn overview(&self, tables: &[&Table], reference: &str) -> String {
        let is_in_any = |name: &&String| tables.iter().any(|table| table.row(name).is_some());
        let names = self.servers.iter().map(|server| &server.name);
        let servers: Vec<_> = names.filter(is_in_any).cloned().collect();
        let head = [vec![String::new()], servers.clone()].concat();
        let rows = tables.iter().map(|table| {
            let digits = table.metrics.first().map_or(0, |metric| metric.digits);
            let figures = servers
                .iter()
                .map(|name| match table.compared(name, reference) {
                    None => "–".to_owned(),
                    Some((median, Some(ratio))) if name != reference => {
                        format!("{} ({ratio:.2})", number(median, digits))
                    }
                    Some((median, _)) => number(median, digits),
                });
            [table.title.clone()].into_iter().chain(figures).collect()
        });
        markdown(&head, &rows.collect::<Vec<_>>())
    }
}

/// A number with separated thousands.
fn number(figure: f64, digits: usize) -> String {
    let text = format!("{figure:.digits$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

/// A Markdown table with aligned columns: the first to the left, the others to the right.
fn markdown(head: &[String], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .chain(head.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
            .max(3)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let line = |row: &[String]| {
        let cells = widths.iter().enumerate().map(|(column, &width)| {
            let cell = row.get(column).map_or("", String::as_str);
            match column {
                0 => format!(" {cell:<width$} "),
                _ => format!(" {cell:>width$} "),
            }
        });
        format!("|{}|\n", cells.collect::<Vec<_>>().join("|"))
    };
    let rule = widths
        .iter()
        .enumerate()
        .map(|(column, width)| match column {
            0 => "-".repeat(width + 2),
            _ => "-".repeat(width + 1) + ":",
        });
    let mut table = line(head) + &format!("|{}|\n", rule.collect::<Vec<_>>().join("|"));
    table.extend(rows.iter().map(|row| line(row)));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_median_and_the_extremes() {
        let spread = |sample: &[f64]| Spread::of(sample.to_vec());
        let expected = |median, min, max| Some(Spread { median, min, max });
        assert_eq!(spread(&[3.0, 1.0, 8.0]), expected(3.0, 1.0, 8.0));
        assert_eq!(spread(&[4.0, 1.0, 8.0, 2.0]), expected(3.0, 1.0, 8.0));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn numbers_have_separated_thousands() {
        for (figure, digits, text) in [
            (0.5, 2, "0.50"),
            (999.0, 0, "999"),
            (1234567.0, 0, "1,234,567"),
            (1000.25, 1, "1,000.2"),
        ] {
            assert_eq!(number(figure, digits), text);
        }
    }

    #[test]
    fn tables_are_aligned_markdown() {
        let metrics = vec![Metric::new("µs", 1), Metric::new("n/s", 0)];
        let mut table = Table::new("1x16".into(), "one".into(), metrics);
        table.add("wasocket", vec![2.0, 1000.0]);
        table.add("floor", vec![1.0, 2000.0]);
        table.add("wasocket", vec![4.0, 3000.0]);
        let expected = "\
|          |  µs | least – most | × wasocket |   n/s |
|----------|----:|-------------:|-----------:|------:|
| wasocket | 3.0 |    2.0 – 4.0 |       1.00 | 2,000 |
| floor    | 1.0 |    1.0 – 1.0 |       0.33 | 2,000 |
";
        assert_eq!(table.markdown("wasocket"), expected);
    }
}
