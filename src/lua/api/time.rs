//! `time` and `sleep`: now, the parts of a moment in some zone, and dates as text. Zones are those of the machine, or else those
//! inside the binary.

use std::rc::Rc;

use jiff::fmt::{rfc2822, strtime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned, civil};
use mlua::{Lua, Table, Value};

use super::super::host::Host;
use super::args::{self, Options};

/// Of a date or a format.
const LONGEST: usize = 1000;
/// What RFC 9110 has servers accept besides RFC 2822; the zone is always GMT.
const OLD_HTTP: [&str; 2] = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    let time = lua.create_table()?;
    let clock = host.clock.clone();
    time.raw_set("now", lua.create_function(move |_, ()| Ok(clock.now()))?)?;
    let clock = host.clock.clone();
    time.raw_set(
        "date",
        lua.create_function(move |lua, options: Value| {
            let options = Options::new("time.date", &options, &["at", "tz"])?;
            let at = options.value("at")?;
            let at = if args::absent(&at) { Value::Number(clock.now()) } else { at };
            date(lua, &moment("time.date", "at", &at, options.text("tz")?)?)
        })?,
    )?;
    time.raw_set(
        "parse",
        lua.create_function(|_, (text, options): (Value, Value)| {
            let text = args::text("time.parse", "text", &text)?;
            let options = Options::new("time.parse", &options, &["tz", "format"])?;
            let (tz, format) = (zone("time.parse", options.text("tz")?)?, options.text("format")?);
            let long = text.len() > LONGEST || format.as_ref().is_some_and(|f| f.len() > LONGEST);
            let read = if long { Err(format!("longer than {LONGEST} bytes")) } else { parse(text.trim(), format.as_deref(), tz) };
            let at = read.or_else(|why| args::fail("time.parse", format!("{} is no date: {why}", args::quoted(&text))))?;
            Ok(seconds(at))
        })?,
    )?;
    time.raw_set(
        "format",
        lua.create_function(|_, (at, format, options): (Value, Value, Value)| {
            let format = args::text("time.format", "format", &format)?;
            let options = Options::new("time.format", &options, &["tz"])?;
            if args::absent(&at) {
                return args::fail("time.format", "'seconds' must be a number, got nil");
            }
            let at = moment("time.format", "seconds", &at, options.text("tz")?)?;
            if format.len() > LONGEST {
                return args::fail("time.format", format!("the format is longer than {LONGEST} bytes"));
            }
            strtime::format(&format, &at).or_else(|e| args::fail("time.format", format!("{}: {e}", args::quoted(&format))))
        })?,
    )?;
    into.raw_set("time", time)?;
    let h = host.clone();
    let sleep = lua.create_async_function(move |lua, seconds: Value| {
        let h = h.clone();
        async move {
            super::may_wait(&lua, &h)?;
            h.clock.sleep(super::seconds(&seconds).map_err(|e| mlua::Error::runtime(format!("sleep: {e}")))?).await;
            Ok(())
        }
    })?;
    into.raw_set("sleep", sleep)
}

/// A name such as `Europe/Berlin`, or an offset such as `+02:00`; the machine's where none is given.
fn zone(function: &str, name: Option<String>) -> mlua::Result<TimeZone> {
    let Some(name) = name else { return Ok(TimeZone::system()) };
    if let Some(offset) = offset(&name) {
        return Ok(TimeZone::fixed(offset));
    }
    TimeZone::get(&name).or_else(|_| args::fail(function, format!("there is no time zone {}", args::quoted(&name))))
}

fn offset(text: &str) -> Option<Offset> {
    let (sign, rest) = text.strip_prefix('+').map(|rest| (1, rest)).or_else(|| text.strip_prefix('-').map(|rest| (-1, rest)))?;
    let (hours, minutes) = rest.split_once(':').unwrap_or_else(|| rest.split_at_checked(2).unwrap_or((rest, "")));
    let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse::<i32>().ok()).flatten();
    let (hours, minutes) = (number(hours)?, if minutes.is_empty() { 0 } else { number(minutes)? });
    if hours > 23 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

fn moment(function: &str, argument: &str, at: &Value, tz: Option<String>) -> mlua::Result<Zoned> {
    let at = args::number(function, argument, at)?;
    let stamp = SignedDuration::try_from_secs_f64(at).and_then(Timestamp::from_duration);
    let stamp = stamp.or_else(|_| args::fail(function, format!("'{argument}' is out of the range of dates: {at}")))?;
    Ok(stamp.to_zoned(zone(function, tz)?))
}

fn date(lua: &Lua, at: &Zoned) -> mlua::Result<Table> {
    let date = lua.create_table()?;
    let parts = [
        ("year", i32::from(at.year())),
        ("month", at.month().into()),
        ("day", at.day().into()),
        ("hour", at.hour().into()),
        ("min", at.minute().into()),
        ("sec", at.second().into()),
        ("weekday", at.weekday().to_monday_zero_offset().into()),
        ("yday", at.day_of_year().into()),
        ("offset", at.offset().seconds()),
    ];
    for (name, value) in parts {
        date.raw_set(name, value)?;
    }
    let zone = at.time_zone().to_offset_info(at.timestamp()).abbreviation().to_owned();
    date.raw_set("zone", zone)?;
    Ok(date)
}

/// A whole number where it is one.
fn seconds(at: Timestamp) -> Value {
    if at.subsec_nanosecond() == 0 { Value::Integer(at.as_second()) } else { Value::Number(at.as_duration().as_secs_f64()) }
}

fn parse(text: &str, format: Option<&str>, tz: TimeZone) -> Result<Timestamp, String> {
    let in_zone = |at: civil::DateTime| tz.to_timestamp(at).map_err(|e| e.to_string());
    if let Some(format) = format {
        let read = strtime::parse(format, text).map_err(|e| e.to_string())?;
        if read.offset().is_some() || read.timestamp().is_some() || read.iana_time_zone().is_some() {
            return read.to_zoned().map(|z| z.timestamp()).or_else(|_| read.to_timestamp()).map_err(|e| e.to_string());
        }
        let date = read.to_date().map_err(|e| e.to_string())?;
        let time = if read.hour().is_some() { read.to_time().map_err(|e| e.to_string())? } else { civil::Time::midnight() };
        return in_zone(date.to_datetime(time));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(at) = text.parse::<Zoned>() {
        return Ok(at.timestamp());
    }
    if let Ok(at) = rfc2822::DateTimeParser::new().parse_timestamp(text) {
        return Ok(at);
    }
    for format in OLD_HTTP {
        if let Ok(at) = civil::DateTime::strptime(format, text) {
            return TimeZone::UTC.to_timestamp(at).map_err(|e| e.to_string());
        }
    }
    match text.parse::<civil::DateTime>() {
        Ok(at) => in_zone(at),
        Err(e) => Err(format!("{e}; dates are as in ISO 8601, RFC 2822 or HTTP, or as 'format' says")),
    }
}
