# SPDX-License-Identifier: GPL-2.0-only
# Included by the Makefiles of programs: each of $(programs) is one source file,
# linked statically with all of $(library), in $(OUT). Sources of the library
# that are not in the directory are in tests/lib.

lib := $(dir $(lastword $(MAKEFILE_LIST)))lib
CFLAGS += -pthread -MMD -MP -I$(lib)
vpath %.c $(lib)
LDFLAGS = -static -pthread
objects = $(programs:%=$(OUT)/%.o) $(library:%.c=$(OUT)/%.o)

all: $(programs:%=$(OUT)/%)

$(programs:%=$(OUT)/%): %: %.o $(library:%.c=$(OUT)/%.o)
	$(CC) $(LDFLAGS) -o $@ $^

$(objects): $(OUT)/%.o: %.c $(MAKEFILE_LIST)
	@mkdir -p $(OUT)
	$(CC) $(CFLAGS) -c -o $@ $<

list:
	@echo $(programs)

install: all
	cp $(programs:%=$(OUT)/%) $(DESTDIR)

clean:
	rm -f $(programs:%=$(OUT)/%) $(objects) $(objects:.o=.d)

-include $(objects:.o=.d)

.PHONY: all list install clean
