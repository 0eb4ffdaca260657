//! What people see in a browser, in a browser: headless Chromium. Skipped aloud where there is
//! none, unless `TENANTRY_BROWSER=required` (as in `.ci/run`). Pictures for looking at are kept in
//! `target/screenshots`.

mod driver;
mod landing;
mod list;
mod report;
mod story;
mod terminal;
