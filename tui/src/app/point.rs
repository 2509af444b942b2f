//! The mouse: rows, headings and tabs are clicked, the wheel moves what it is over.

use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::{App, Effect, Over};
use crate::view::columns::{Column, columns};
use crate::view::layout::{GUTTER, areas, tabs};

/// Lines that the wheel moves at once.
const WHEEL: isize = 3;

impl App {
    pub(super) fn point(&mut self, mouse: MouseEvent) -> Vec<Effect> {
        let at = Position { x: mouse.column, y: mouse.row };
        match mouse.kind {
            MouseEventKind::ScrollDown => self.wheel(at, WHEEL),
            MouseEventKind::ScrollUp => self.wheel(at, -WHEEL),
            MouseEventKind::Down(MouseButton::Left) if self.over.is_none() => return self.click(at),
            _ => {}
        }
        Vec::new()
    }

    fn wheel(&mut self, at: Position, lines: isize) {
        let is_on_detail = areas(self).detail.is_some_and(|area| area.contains(at));
        match &mut self.over {
            Some(Over::Help(top)) => *top = top.saturating_add_signed(lines),
            Some(Over::Ask(ask)) => ask.slip.scroll(lines),
            Some(Over::Pair(confirm)) => confirm.slip.scroll(lines),
            Some(Over::Pick(picker)) => picker.move_by(lines),
            Some(Over::Batch) => {
                if let Some(batch) = &mut self.batch {
                    batch.scroll(lines);
                }
            }
            None if is_on_detail => {
                if let Some(detail) = &mut self.detail {
                    detail.scroll(lines);
                }
            }
            None => self.list.move_by(lines, &self.keys),
        }
    }

    fn click(&mut self, at: Position) -> Vec<Effect> {
        let areas = areas(self);
        if areas.tabs.contains(at) {
            let tab = tabs(self).into_iter().find(|tab| (tab.x..tab.x + tab.width).contains(&at.x));
            if let Some(tab) = tab {
                self.list.show_tab(tab.tab, &self.keys);
            }
        } else if areas.heading.contains(at) {
            self.click_heading(at.x, areas.heading);
        } else if areas.rows.contains(at) {
            let line = self.list.top + usize::from(at.y - areas.rows.y);
            if line >= self.list.shown.len() {
                return Vec::new();
            }
            if at.x < areas.rows.x + GUTTER {
                self.list.move_to(line, &self.keys);
                self.list.toggle(&self.keys);
            } else if line == self.list.at {
                return self.open_detail();
            } else {
                self.list.move_to(line, &self.keys);
            }
        }
        Vec::new()
    }

    fn click_heading(&mut self, x: u16, heading: Rect) {
        let mut left = heading.x + GUTTER;
        for (column, width) in columns(&self.list, heading.width) {
            let right = left + width;
            if (left..right).contains(&x)
                && let Some(sort) = Column::sort(column)
            {
                let is_reversed = self.list.sort == sort && !self.list.is_reversed;
                self.list.set_sort(sort, is_reversed, &self.keys);
            }
            left = right + crate::view::columns::gap(heading.width);
        }
    }
}
