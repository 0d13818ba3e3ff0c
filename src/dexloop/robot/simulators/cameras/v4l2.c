/* A V4L2 camera for one program that this library is preloaded into: a named pipe answers its system calls as a UVC
 * camera's device file does. DEXLOOP_V4L2 names the pipe, DEXLOOP_V4L2_STATE the file with what both sides know.
 *
 * The program waits for the pipe as it waits for a device: a byte is a picture, its other end closed is unplugged.
 * https://docs.kernel.org/userspace-api/media/v4l/user-func.html
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 4
#define CONTROLS 5

struct control {
    uint32_t id;
    int32_t least, most, step, usual, value;
};

/* Written by v4l2.py, which has the same layout. */
struct state {
    uint32_t width, height, fourcc, fps, capacity, sequence, bytes;
    struct control controls[CONTROLS];
    uint8_t picture[];
};

static struct state *state;
static int device = -1;
static int streaming;
static uint8_t *memory[BUFFERS];
static int queue[BUFFERS], queued;

static int refuse(int error) {
    errno = error;
    return -1;
}

static int open_device(const char *path, int flags) {
    const char *pipe_path = getenv("DEXLOOP_V4L2"), *state_path = getenv("DEXLOOP_V4L2_STATE");
    int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    if (!pipe_path || !state_path || strcmp(path, pipe_path) || !(flags & O_NONBLOCK)) return -2;
    int file = real_open(state_path, O_RDWR);
    if (file < 0) return -1;
    off_t size = lseek(file, 0, SEEK_END);
    void *(*real_mmap)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, "mmap");
    state = real_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    device = real_open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    streaming = queued = 0;
    return device;
}

#define OPEN(NAME)                                                     \
    int NAME(const char *path, int flags, ...) {                       \
        va_list more;                                                  \
        va_start(more, flags);                                         \
        mode_t mode = va_arg(more, mode_t);                            \
        va_end(more);                                                  \
        int opened = open_device(path, flags);                         \
        if (opened != -2) return opened;                               \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #NAME); \
        return real(path, flags, mode);                                \
    }
OPEN(open)
OPEN(open64)

#define MMAP(NAME)                                                                            \
    void *NAME(void *at, size_t length, int access, int flags, int file, off_t offset) {      \
        void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, #NAME);        \
        if (file < 0 || file != device) return real(at, length, access, flags, file, offset); \
        if (!state || offset / state->capacity >= BUFFERS) {                                  \
            errno = EINVAL;                                                                   \
            return MAP_FAILED;                                                                \
        }                                                                                     \
        void *new = real(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); \
        if (new != MAP_FAILED) memory[offset / state->capacity] = new;                        \
        return new;                                                                           \
    }
MMAP(mmap)
MMAP(mmap64)

static int format(struct v4l2_format *wanted) {
    if (wanted->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return refuse(EINVAL);
    memset(&wanted->fmt.pix, 0, sizeof wanted->fmt.pix);
    wanted->fmt.pix.width = state->width;
    wanted->fmt.pix.height = state->height;
    wanted->fmt.pix.pixelformat = state->fourcc;
    wanted->fmt.pix.field = V4L2_FIELD_NONE;
    wanted->fmt.pix.sizeimage = state->capacity;
    return 0;
}

static int dequeue(struct v4l2_buffer *buffer) {
    char tokens[64];
    if (!streaming || !queued) return refuse(EINVAL);
    ssize_t count = read(device, tokens, sizeof tokens);
    if (count == 0) return refuse(ENODEV);
    if (count < 0) return -1;
    int index = queue[0];
    memmove(queue, queue + 1, sizeof *queue * --queued);
    memset(buffer, 0, sizeof *buffer);
    buffer->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    buffer->memory = V4L2_MEMORY_MMAP;
    buffer->index = index;
    buffer->length = state->capacity;
    buffer->bytesused = state->bytes;
    buffer->sequence = state->sequence;
    buffer->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    buffer->timestamp.tv_sec = now.tv_sec;
    buffer->timestamp.tv_usec = now.tv_nsec / 1000;
    memcpy(memory[index], state->picture, state->bytes);
    return 0;
}

static struct control *control_of(uint32_t id) {
    for (int i = 0; i < CONTROLS; i++)
        if (state->controls[i].id == id) return &state->controls[i];
    return NULL;
}

static int answer(unsigned long request, void *argument) {
    struct v4l2_buffer *buffer = argument;
    struct control *control;
    switch ((uint32_t)request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *told = argument;
        memset(told, 0, sizeof *told);
        strcpy((char *)told->driver, "uvcvideo");
        strcpy((char *)told->card, "Simulated camera");
        told->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS;
        told->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    }
    case VIDIOC_G_FMT:
    case VIDIOC_TRY_FMT:
        return format(argument);
    case VIDIOC_S_FMT:
        return streaming ? refuse(EBUSY) : format(argument);
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM: {
        struct v4l2_streamparm *rate = argument;
        rate->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        rate->parm.capture.timeperframe.numerator = 1;
        rate->parm.capture.timeperframe.denominator = state->fps;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *wanted = argument;
        if (wanted->count > BUFFERS) wanted->count = BUFFERS;
        queued = 0;
        return 0;
    }
    case VIDIOC_QUERYBUF:
        if (buffer->index >= BUFFERS) return refuse(EINVAL);
        buffer->length = state->capacity;
        buffer->m.offset = buffer->index * state->capacity;
        return 0;
    case VIDIOC_QBUF:
        if (buffer->index >= BUFFERS || queued == BUFFERS) return refuse(EINVAL);
        queue[queued++] = buffer->index;
        return 0;
    case VIDIOC_DQBUF:
        return dequeue(buffer);
    case VIDIOC_STREAMON:
        streaming = 1;
        return 0;
    case VIDIOC_STREAMOFF:
        streaming = queued = 0;
        return 0;
    case VIDIOC_QUERYCTRL: {
        struct v4l2_queryctrl *asked = argument;
        if (!(control = control_of(asked->id))) return refuse(EINVAL);
        asked->minimum = control->least;
        asked->maximum = control->most;
        asked->step = control->step;
        asked->default_value = control->usual;
        asked->flags = 0;
        return 0;
    }
    case VIDIOC_G_CTRL:
    case VIDIOC_S_CTRL: {
        struct v4l2_control *wanted = argument;
        if (!(control = control_of(wanted->id))) return refuse(EINVAL);
        if ((uint32_t)request == VIDIOC_G_CTRL) {
            wanted->value = control->value;
            return 0;
        }
        if (wanted->value < control->least || wanted->value > control->most) return refuse(ERANGE);
        control->value = wanted->value;
        return 0;
    }
    default:
        return refuse(ENOTTY);
    }
}

int ioctl(int file, unsigned long request, ...) {
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    if (file < 0 || file != device) {
        int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
        return real(file, request, argument);
    }
    return answer(request, argument);
}

int close(int file) {
    if (file >= 0 && file == device) device = -1;
    int (*real)(int) = dlsym(RTLD_NEXT, "close");
    return real(file);
}
