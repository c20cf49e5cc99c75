// A full-speed loudspeaker of the audio class, like QEMU's: interface 1, alternate setting 1, isochronous OUT
// endpoint 0x01 with 192 bytes in each frame (48 kHz, 16 bits, two channels). Audio 1.0 §4; USB 2.0 §9.6.
#include "fake.h"

#define WORD(value) (value) & 0xff, (value) >> 8

const uint8_t fake_descriptors[] = {
    // Device: 46f4:0002.
    18, 1, WORD(0x0200), 0, 0, 0, 64, WORD(0x46f4), WORD(0x0002), WORD(0), 0, 0, 0, 1,
    // Configuration 1: two interfaces.
    9, 2, WORD(110), 2, 1, 0, 0xc0, 50,
    // Interface 0: audio control. Header, input terminal (USB), feature unit, output terminal (speaker).
    9, 4, 0, 0, 0, 1, 1, 0, 0,
    9, 0x24, 1, WORD(0x0100), WORD(40), 1, 1,
    12, 0x24, 2, 1, WORD(0x0101), 0, 2, WORD(0x0003), 0, 0,
    10, 0x24, 6, 2, 1, 1, 1, 2, 2, 0,
    9, 0x24, 3, 3, WORD(0x0301), 0, 2, 0,
    // Interface 1: audio streaming, without bandwidth and with it.
    9, 4, 1, 0, 0, 1, 2, 0, 0,
    9, 4, 1, 1, 1, 1, 2, 0, 0,
    7, 0x24, 1, 1, 1, WORD(0x0001),
    11, 0x24, 2, 1, 2, 2, 16, 1, WORD(48000), 0,
    // Adaptive, each frame; then its class part.
    9, 5, 0x01, 0x0d, WORD(192), 1, 0, 0,
    7, 0x25, 1, 0, 0, WORD(0),
};
const size_t fake_descriptors_length = sizeof fake_descriptors;
