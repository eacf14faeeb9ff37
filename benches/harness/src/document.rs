//! The report for people: on the terminal, and in `docs/performance.md` with its plots.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::cell::{Cell, bytes};
use crate::grow::{START, connections, sizes};
use crate::measure::Measurement;
use crate::plot::{Line, bars, lines};
use crate::report::{Report, Table};
use crate::servers::{Places, REFERENCE};

/// What `bench run` measured.
pub fn run(report: &Report) -> String {
    let (throughput, rest): (Vec<_>, Vec<_>) = report
        .tables
        .iter()
        .partition(|table| cell(table).is_some());
    let mut text = conditions(report) + "\n" + &legend(report);
    if !throughput.is_empty() {
        text += "\nCPU time of the server for each message, in µs; in brackets how often Wasocket's goes into it:\n\n";
        text += &report.overview(&throughput, REFERENCE);
    }
    for table in rest.iter().chain(&throughput) {
        text += &format!("\n**{}**\n\n{}", table.title, table.markdown(REFERENCE));
    }
    text
}

/// What `bench grow` measured.
pub fn grow(report: &Report) -> String {
    let mut text = conditions(report);
    let (starts, cells): (Vec<_>, Vec<_>) =
        report.tables.iter().partition(|table| table.id == START);
    if !cells.is_empty() {
        text += "\nCPU time of the server for each message, in µs:\n\n";
        text += &report.overview(&cells, REFERENCE);
    }
    for table in starts {
        text += &format!("\n**{}**\n\n{}", table.title, table.markdown(REFERENCE));
    }
    text
}

fn conditions(report: &Report) -> String {
    let Report {
        machine,
        command,
        rounds,
        seconds,
        ..
    } = report;
    format!("`{command}` on {machine}: medians of {rounds} rounds of {seconds} s.\n")
}

fn legend(report: &Report) -> String {
    let line = |server: &crate::report::ServerInfo| {
        let version = server
            .version
            .as_ref()
            .map_or(String::new(), |version| format!(" {version}"));
        format!("- `{}`{version}: {}\n", server.name, server.what)
    };
    report.servers.iter().map(line).collect()
}

/// The cell of a throughput table.
fn cell(table: &Table) -> Option<Cell> {
    match table.id.parse() {
        Ok(Measurement::Throughput(cell)) => Some(cell),
        _ => None,
    }
}

/// Writes what was measured last into the documentation.
///
/// # Errors
///
/// When nothing was measured, or the documentation has no place for it.
pub fn write(places: &Places) -> Result<()> {
    let file = places.root.join("docs/performance.md");
    let plots = places.root.join("docs/performance");
    fs::create_dir_all(&plots)?;
    let mut text = fs::read_to_string(&file)?;
    let mut written = 0;
    if let Some(report) = last(places, "run")? {
        text = between(&text, "run", &run(&report))?;
        fs::write(plots.join("messages.svg"), messages_plot(&report))?;
        written += 1;
    }
    if let Some(report) = last(places, "grow")? {
        text = between(&text, "grow", &grow(&report))?;
        write_growth_plots(&report, &plots)?;
        written += 1;
    }
    if written == 0 {
        return Err("nothing has been measured yet: `make bench`".into());
    }
    fs::write(&file, text)?;
    eprintln!("docs/performance.md is written");
    Ok(())
}

fn last(places: &Places, name: &str) -> Result<Option<Report>> {
    let file = places.report(name);
    match file.is_file() {
        true => Ok(Some(serde_json::from_slice(&fs::read(file)?)?)),
        false => Ok(None),
    }
}

/// Replaces what is between two comments.
fn between(text: &str, name: &str, inside: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let parts = text
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) =
        parts.ok_or_else(|| format!("docs/performance.md has no <!-- {name} -->"))?;
    Ok(format!("{before}{begin}\n{inside}\n{end}{after}"))
}

fn messages_plot(report: &Report) -> String {
    let panels: Vec<_> = report
        .tables
        .iter()
        .filter(|table| cell(table).is_some())
        .map(|table| {
            let bar = |row: &crate::report::Row| Some((row.name.clone(), row.spread(0)?.median));
            (
                table.title.clone(),
                table.rows.iter().filter_map(bar).collect(),
            )
        })
        .collect();
    bars(
        "CPU time of the server for each message, in µs",
        &panels,
        REFERENCE,
    )
}

fn write_growth_plots(report: &Report, folder: &Path) -> Result<()> {
    let by_connections = growth(report, &connections(), |cell| cell.connections);
    let by_size = growth(report, &sizes(), |cell| cell.size);
    let title = "CPU time for each message, in µs";
    let plot = lines(
        &format!("{title}, by connections"),
        &by_connections,
        |count| count.to_string(),
        REFERENCE,
    );
    fs::write(folder.join("connections.svg"), plot)?;
    let plot = lines(&format!("{title}, by size"), &by_size, bytes, REFERENCE);
    fs::write(folder.join("sizes.svg"), plot)?;
    Ok(())
}

/// A line for each server, over the cells of a series.
fn growth(report: &Report, series: &[Measurement], x: fn(&Cell) -> usize) -> Vec<Line> {
    let point = |name: &str, measurement: &Measurement| {
        let table = report
            .tables
            .iter()
            .find(|table| table.id == measurement.to_string())?;
        let median = table.row(name)?.spread(0)?.median;
        Some((x(&cell(table)?), median))
    };
    let line = |name: &String| Line {
        name: name.clone(),
        points: series
            .iter()
            .filter_map(|measurement| point(name, measurement))
            .collect(),
    };
    report
        .servers
        .iter()
        .map(|server| line(&server.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_two_comments_is_replaced() {
        let text = "a\n<!-- run -->\nold\n<!-- /run -->\nb\n";
        let new = between(text, "run", "new").expect("there is a place");
        assert_eq!(new, "a\n<!-- run -->\n\nnew\n<!-- /run -->\nb\n");
        assert_eq!(between(&new, "run", "new").expect("still"), new);
        assert!(between(text, "grow", "new").is_err());
    }
}
