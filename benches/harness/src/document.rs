//! The report for readers: on the terminal, and in `docs/performance.md` with its plots.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::cell::{Cell, bytes};
use crate::grow::{START, WORKERS, is_of_connections, is_of_sizes};
use crate::kinds::REFERENCE;
use crate::measure::Measurement;
use crate::plot::{Line, bars, lines};
use crate::report::{Report, Row, ServerInfo, Table};
use crate::servers::Places;

/// The name of the results of `bench run --rooms`.
pub const ROOMS: &str = "rooms";

/// The results of `bench run`: the most important ones first.
pub fn run(report: &Report) -> String {
    let (throughput, others): (Vec<_>, Vec<_>) = report
        .tables
        .iter()
        .partition(|table| cell(table).is_some());
    let (rooms, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|table| is_room(table));
    let mut text = conditions(report) + "\n" + &legend(report);
    if !throughput.is_empty() {
        text += "\nServer CPU time per message, in µs; in parentheses the ratio to Wasocket's:\n\n";
        text += &report.overview(&throughput, REFERENCE);
    }
    if !rooms.is_empty() {
        text += "\nRooms: server CPU time per delivery to a member, in µs:\n\n";
        text += &report.overview(&rooms, REFERENCE);
    }
    text += &details(&rest);
    text += "
<details><summary>All figures of each row</summary>
";
    text += &details(&throughput);
    text += &details(&rooms);
    text + "
</details>
"
}

/// The results of `bench grow`.
pub fn grow(report: &Report) -> String {
    let mut text = conditions(report);
    let (others, cells): (Vec<_>, Vec<_>) = report.tables.iter().partition(|table| is_own(table));
    if !cells.is_empty() {
        text += "\nServer CPU time per message, in µs:\n\n";
        text += &report.overview(&cells, REFERENCE);
    }
    text + &details(&others)
}

/// The results of a command whose tables only have figures for Wasocket, compared with this row.
pub fn alone(report: &Report, reference: &str) -> String {
    let tables = report.tables.iter();
    let table = |table: &Table| format!("\n{}\n\n{}", table.title, table.markdown(reference));
    conditions(report) + &tables.map(table).collect::<String>()
}

/// Whether a table only has figures of Wasocket.
fn is_own(table: &Table) -> bool {
    [START, WORKERS].contains(&&*table.id)
}

/// Tables with all their metrics.
fn details(tables: &[&Table]) -> String {
    let table = |table: &&Table| format!("\n**{}**\n\n{}", table.title, table.markdown(REFERENCE));
    tables.iter().map(table).collect()
}

fn conditions(report: &Report) -> String {
    let Report {
        machine,
        command,
        rounds,
        seconds,
        ..
    } = report;
    let rounds = match rounds {
        1 => "one round".to_owned(),
        _ => format!("medians of {rounds} rounds"),
    };
    format!("`{command}` on {machine}: {rounds} of {seconds} s.\n")
}

fn legend(report: &Report) -> String {
    let line = |server: &ServerInfo| {
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

/// Whether a table is of a room's deliveries.
fn is_room(table: &Table) -> bool {
    matches!(table.id.parse(), Ok(Measurement::FanOut(_)))
}

/// Whether a table is about rooms.
fn is_of_rooms(table: &Table) -> bool {
    use Measurement::{Bus, FanOut, RoomMemory};
    matches!(table.id.parse(), Ok(FanOut(_) | RoomMemory | Bus(_)))
}

/// Writes the last results into the documentation.
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
    for name in ["run", ROOMS] {
        if let Some(report) = last(places, name)? {
            text = write_run(report, text, &plots)?;
            written += 1;
        }
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

/// Writes the results of `bench run`: the tables about rooms and those about echoes, as far as there are any.
fn write_run(mut report: Report, mut text: String, plots: &Path) -> Result<String> {
    let (rooms, echoes): (Vec<_>, Vec<_>) = report.tables.into_iter().partition(is_of_rooms);
    if !rooms.is_empty() {
        report.tables = rooms;
        text = between(&text, ROOMS, &run(&report))?;
    }
    if !echoes.is_empty() {
        report.tables = echoes;
        text = between(&text, "run", &run(&report))?;
        fs::write(plots.join("messages.svg"), messages_plot(&report))?;
    }
    Ok(text)
}

fn last(places: &Places, name: &str) -> Result<Option<Report>> {
    let file = places.report(name);
    if file.is_file() {
        Ok(Some(serde_json::from_slice(&fs::read(file)?)?))
    } else {
        Ok(None)
    }
}

/// Replaces the text between two comments of a file.
///
/// # Errors
///
/// When the file cannot be written, or has no such comments.
pub fn replace(file: &Path, name: &str, inside: &str) -> Result<()> {
    let text = between(&fs::read_to_string(file)?, name, inside.trim_end())?;
    Ok(fs::write(file, text)?)
}

/// Replaces the text between two comments.
fn between(text: &str, name: &str, inside: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let parts = text
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) =
        parts.ok_or_else(|| format!("there is no <!-- {name} --> to write at"))?;
    Ok(format!("{before}{begin}\n{inside}\n{end}{after}"))
}

fn messages_plot(report: &Report) -> String {
    let panels: Vec<_> = report
        .tables
        .iter()
        .filter(|table| cell(table).is_some())
        .map(|table| (table.title.clone(), panel(table, 0).1))
        .collect();
    bars("Server CPU time per message, in µs", &panels, REFERENCE)
}

fn write_growth_plots(report: &Report, folder: &Path) -> Result<()> {
    let title = "Server CPU time per message, in µs";
    let by_connections = growth(report, is_of_connections, |cell| cell.connections);
    let label = |count: usize| count.to_string();
    let plot = lines(
        &format!("{title}, by connections"),
        &by_connections,
        label,
        REFERENCE,
    );
    fs::write(folder.join("connections.svg"), plot)?;
    let by_size = growth(report, is_of_sizes, |cell| cell.size);
    let plot = lines(&format!("{title}, by size"), &by_size, bytes, REFERENCE);
    fs::write(folder.join("sizes.svg"), plot)?;
    for (id, metrics) in [(WORKERS, 1..2), (START, 0..3)] {
        if let Some(table) = report.tables.iter().find(|table| table.id == id) {
            let panels: Vec<_> = metrics.map(|metric| panel(table, metric)).collect();
            let plot = bars(&table.title, &panels, REFERENCE);
            fs::write(folder.join(format!("{id}.svg")), plot)?;
        }
    }
    Ok(())
}

/// The medians of one metric.
fn panel(table: &Table, metric: usize) -> (String, Vec<(String, f64)>) {
    let bar = |row: &Row| Some((row.name.clone(), row.spread(metric)?.median));
    let title = table.metrics.get(metric).map(|metric| metric.name.clone());
    let bars = table.rows.iter().filter_map(bar).collect();
    (title.unwrap_or_default(), bars)
}

/// A line for each server, over the cells of a series.
fn growth(report: &Report, is_in: fn(&Cell) -> bool, x: fn(&Cell) -> usize) -> Vec<Line> {
    let series: Vec<_> = report
        .tables
        .iter()
        .filter_map(|table| Some((cell(table).filter(is_in)?, table)))
        .collect();
    let line = |server: &ServerInfo| {
        let point = |(cell, table): &(Cell, &Table)| {
            Some((x(cell), table.row(&server.name)?.spread(0)?.median))
        };
        Line {
            name: server.name.clone(),
            points: series.iter().filter_map(point).collect(),
        }
    };
    report.servers.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_text_between_two_comments() {
        let text = "a\n<!-- run -->\nold\n<!-- /run -->\nb\n";
        let new = between(text, "run", "new").expect("there is a place");
        assert_eq!(new, "a\n<!-- run -->\n\nnew\n<!-- /run -->\nb\n");
        assert_eq!(between(&new, "run", "new").expect("still"), new);
        assert!(between(text, "grow", "new").is_err());
    }
}
