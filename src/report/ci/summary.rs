//! A job summary: Markdown that fits where it goes.

/// The most that GitHub takes of one step, in bytes: more, and it takes nothing
/// (<https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#step-isolation-and-limits>).
pub const MOST: usize = 1024 * 1024;
/// Room for the line that says what was left out, and for the end of a block of code.
const NOTE: usize = 256;

/// As much of a Markdown text as fits into so many bytes: whole lines, so whole rows of a table, and
/// a last line that says how many were left out.
pub fn within(markdown: &str, room: usize) -> String {
    if markdown.len() <= room {
        return markdown.to_owned();
    }
    let mut kept = String::new();
    // A block of code that is cut would swallow what comes after it.
    let mut open: Option<&str> = None;
    let mut lines = markdown.split_inclusive('\n');
    let mut left_out = 0;
    for line in lines.by_ref() {
        if kept.len() + line.len() + open.map_or(0, str::len) + NOTE > room {
            left_out = 1;
            break;
        }
        kept.push_str(line);
        let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
        open = match open {
            None if ticks.len() >= 3 => Some(ticks),
            Some(fence) if ticks == fence && line.trim_end() == fence => None,
            open => open,
        };
    }
    left_out += lines.count();
    if kept.len() + NOTE > room {
        return String::new();
    }
    if let Some(fence) = open {
        kept.push_str(fence);
        kept.push('\n');
    }
    kept.push_str(&format!(
        "\n**{left_out} more lines are left out**: a summary holds 1 MiB. `--report FILE` has them all.\n"
    ));
    kept
}
