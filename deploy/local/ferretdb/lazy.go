package main

import (
	"context"
	"log/slog"
	"slices"
)

// lazy is a handler that writes attributes out only with a record. FerretDB attaches each statement, with all its
// values, to a logger for a record that is below the level; slog's own handlers write them out at once, which took an
// eighth of the server's time.
type lazy struct {
	slog.Handler
	with []func(slog.Handler) slog.Handler
}

func (h lazy) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.later(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

func (h lazy) WithGroup(name string) slog.Handler {
	return h.later(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h lazy) Handle(ctx context.Context, record slog.Record) error {
	to := h.Handler
	for _, add := range h.with {
		to = add(to)
	}
	return to.Handle(ctx, record)
}

func (h lazy) later(add func(slog.Handler) slog.Handler) slog.Handler {
	return lazy{h.Handler, append(slices.Clip(h.with), add)}
}
