-- Which trace a reading is a part of (W3C Trace Context): random digits, where a site exports traces.

alter table reading add column trace text;
