// A stranger's program in C++17, which cannot name the members in a macro: it fills in the structs
// itself.
#include <eddy/eddy.h>

namespace
{

struct program {
    eddy_timer timer{};
    eddy_loop *loop = nullptr;
    int rings = 0;
};

int make_loop(eddy_policy *, eddy_loop **ret)
{
    eddy_loop_opts opts{};
    opts.abi_size = sizeof opts;
    opts.backend = "poll";
    return eddy_loop_new(&opts, ret);
}

eddy_policy_class make_class()
{
    eddy_policy_class cls{};
    cls.abi_size = sizeof cls;
    cls.name = "poll only";
    cls.new_event_loop = make_loop;
    return cls;
}

const eddy_policy_class policy_class = make_class();

void ring(eddy_timer *t)
{
    program *self = EDDY_CONTAINER_OF(t, program, timer);
    if (++self->rings == 3)
        eddy_loop_stop(self->loop);
    else
        eddy_loop_call_later(self->loop, t, EDDY_MSEC(1));
}

} // namespace

int main()
{
    static eddy_policy policy{};
    policy.cls = &policy_class;
    program self;
    self.timer.fn = ring;
    if (eddy_set_event_loop_policy(&policy) < 0 || eddy_get_event_loop(&self.loop) < 0)
        return 1;
    eddy_loop_call_later(self.loop, &self.timer, EDDY_MSEC(1));
    int res = eddy_loop_run_forever(self.loop);
    eddy_loop_close(self.loop);
    eddy_set_event_loop(nullptr);
    return res < 0 || self.rings != 3;
}
